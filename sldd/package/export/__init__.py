"""A package for other programs and for readers: its network as ONNX or an exported program, and its model card."""
