"""Files to `Dataset` and `Split`: scanning, tables, prepared sets, class names, splitting."""
