"""Which namespaces are under control: their states, their keys, their classifiers."""
