//! JSON-aware Jinja: transforms and request paths, compiled once a set, checked statically, rendered within bounds.
