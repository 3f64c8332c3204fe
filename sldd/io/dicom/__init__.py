"""DICOM films: header, decoded frames, stored values, and what they look like as gray."""
