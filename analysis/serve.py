"""Live page of a running study: python -m analysis.serve results/demo

    python -m analysis.serve results/demo                       http://127.0.0.1:8050, until Ctrl-C
    python -m analysis.serve results/a results/b --port 8051    both studies on one page

It reads the ledger and writes nothing. By default this machine alone can open it; from elsewhere, forward the port:
ssh -L 8050:localhost:8050 THAT_MACHINE.
"""

from __future__ import annotations

import argparse
import logging
import math
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from analysis.dashboard import articles, page_title
from analysis.page.html import body, head
from analysis.page.live import Live
from analysis.records.records import NotAStudyError
from ledger.storage import open_folder

# Dash's own scripts come from the same server; still nothing is loaded from, or sent, anywhere else.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
    ]
)


def make_app(live: Live, every: float) -> Any:
    """The Dash application; each open page asks for news `every` so many seconds."""
    from dash import Dash, Input, Output, dcc, html, no_update

    class Page(Dash):
        """The page as `analysis.dashboard` writes it, with Dash's scripts, which bring the news."""

        def interpolate_index(self, **parts: str) -> str:  # type: ignore[override]  # Dash names them all
            edition = live.edition
            content = edition.content
            filled = body(articles(content), content.script() | {"revision": edition.revision}, content.cells)
            scripted = "\n".join([filled, *(parts[name] for name in ("app_entry", "config", "scripts", "renderer"))])
            meta = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            top = f"<head>\n{meta}\n{head(page_title(content))}\n</head>"
            return f'<!doctype html>\n<html lang="en">\n{top}\n<body>\n{scripted}\n</body>\n</html>\n'

    app = Page(__name__, update_title="", serve_locally=True, include_assets_files=False)
    app.layout = html.Div(
        [
            dcc.Interval(id="clock", interval=1000 * every),
            dcc.Store(id="asked"),
            dcc.Store(id="news"),
            html.Div(id="sink"),
        ],
        hidden=True,
    )
    app.clientside_callback(
        "ticks => [ticks, studyPage.revision]", Output("asked", "data"), Input("clock", "n_intervals")
    )

    @app.callback(Output("news", "data"), Input("asked", "data"), prevent_initial_call=True)
    def news(asked: list[int | None]) -> Any:
        try:
            live.look()
        except (NotAStudyError, OSError) as error:  # a share that is away for a moment: the page stays as it is
            logging.getLogger(__name__).warning("%s", error)
        known = asked[1]  # a page that is still being read has no revision
        found = live.edition.news(known) if known is not None else None
        return no_update if found is None else found

    app.clientside_callback(
        "news => { if (news) studyPage.update(news); return ''; }", Output("sink", "children"), Input("news", "data")
    )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8050, help="port to listen on (default: 8050)")
    parser.add_argument("--every", type=float, default=5, metavar="SECONDS", help="time between updates (default: 5)")
    options = parser.parse_args(arguments)
    if not 0 < options.every < math.inf:
        parser.error("--every: a number of seconds above zero")
    try:
        live = Live([open_folder(study) for study in options.studies])
        app = make_app(live, options.every)
        from werkzeug.serving import make_server
    except (NotAStudyError, ValueError, OSError) as error:
        print(f"serve: {error}", file=sys.stderr)
        return 2
    except ImportError:
        print("serve: the live page needs Dash; pip install 'sldd-study[live]'", file=sys.stderr)
        return 2
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line a request
    try:
        listening = socket.create_server((options.host, options.port))
    except (OSError, OverflowError) as error:
        where = f"{options.host}:{options.port}"
        print(f"serve: cannot listen on {where} ({error}); choose another --port", file=sys.stderr)
        return 2
    port = listening.getsockname()[1]
    server = make_server(options.host, port, app.server, threaded=True, fd=listening.fileno())
    print(f"http://{options.host}:{port} follows {', '.join(options.studies)}; Ctrl-C ends it", flush=True)
    with listening, suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
