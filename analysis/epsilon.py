"""Figure and table of HM against epsilon, over studies that differ in their noise.

    python -m analysis.epsilon results/noise-1 results/noise-4 results/plain --out hm_by_epsilon.html

Epsilon is that of one confirm trial's package, at the delta of its study (`privacy.delta`); the smaller, the more
private. A study without privacy is a dotted line. The page of several studies has the same figure.
"""

from __future__ import annotations

import argparse
import sys

from analysis.figures.given_away.epsilon import COLUMNS, hm_by_epsilon_figure, hm_by_epsilon_frame
from analysis.records.records import NotAStudyError, read_study
from ledger.storage import StorageError, open_folder, write_whole


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 where there is nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.epsilon", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument(
        "--out", default="hm_by_epsilon.html", metavar="FILE.html", help="where the figure goes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        out = open_folder(options.out)
        frame = hm_by_epsilon_frame([read_study(study) for study in options.studies])
        if frame.empty:
            raise NotAStudyError("no confirmed cell of these studies is private (privacy.noise)")
        write_whole(out, hm_by_epsilon_figure(frame).to_html(include_plotlyjs=True))
    except (NotAStudyError, StorageError) as error:
        print(f"analysis.epsilon: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"analysis.epsilon: {options.out}: cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    print(frame[COLUMNS].to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
