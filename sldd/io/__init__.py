"""Files of radiographs and labels: PNG, JPEG, TIFF, DICOM, tables; paths that stay inside their folder, whole writes."""
