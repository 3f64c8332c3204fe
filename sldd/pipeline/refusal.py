"""Why a network cannot be distilled, in words, from the error that it raised."""

from __future__ import annotations

from sldd.ops.memory import out_of_memory


def why_not(error: Exception, backbone: str, images: int | None, side: int) -> str:
    """The reason, in a line.

    Args:
        images: of a step.
        side: of the network's input, in pixels.
    """
    if "more than 1 value per channel" in str(error):
        return (
            f"batch norm sees one value a channel: {images} image a step and a last map of 1 x 1 at "
            f"{side} x {side}; use more images, a larger patches.input_size, or grid.norm=group"
        )
    if out_of_memory(error):
        return f"{backbone} at {side} x {side}: out of memory; lower outer.batch_size or patches.input_size"
    if "derivative" in str(error):
        return f"{backbone} cannot be differentiated twice: {_first_line(error)}"
    return f"{backbone} at {side} x {side}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
