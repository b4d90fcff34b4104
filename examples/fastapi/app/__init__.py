"""Reference application: items, jobs, files and a periodic tick."""
