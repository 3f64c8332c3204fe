"""Sources of radiographs and labels, one a file: folders, hospitals' exports, public collections, phantoms."""
