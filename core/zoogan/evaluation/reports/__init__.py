"""Reports: pages, tables, comparisons."""
