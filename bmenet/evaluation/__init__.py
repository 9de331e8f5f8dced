"""Restored volumes against clean ones: cases, means with intervals, tables and figures."""
