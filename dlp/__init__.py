"""DLP egress gateway: reads what containers send and stops what must not leave.

The package root holds nothing but the version; the composition root is `dlp.gateway`.
"""

__version__ = "0.1.0"
