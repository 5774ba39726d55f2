"""Measuring Tidings beside what one would build instead: the same data, the same answers, the same run."""
