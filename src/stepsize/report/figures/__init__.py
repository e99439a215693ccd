"""The figures of the report, each as SVG for the page and as a PNG."""
