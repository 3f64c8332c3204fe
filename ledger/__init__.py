"""The files of a study: who may write them, and how they are read. Any storage, no Ray and no tables."""
