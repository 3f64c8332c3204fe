"""Files of radiographs and labels: PNG, JPEG, TIFF, DICOM, tables, and paths that stay inside their folder."""
