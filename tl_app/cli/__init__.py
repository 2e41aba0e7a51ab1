"""The command line: arguments in, one call of `tl_app.app`, text or JSON out."""
