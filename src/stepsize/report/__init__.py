"""From run folders to a report: one table, statistics, figures, HTML and Markdown."""
