"""Files: radiographs and labels (PNG, JPEG, TIFF, DICOM, tables), paths that stay in their folder, whole writes."""
