"""Packages of several hospitals made one: their images in a row, their weights averaged, their votes added."""
