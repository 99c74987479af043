"""The aiohttp application: thin handlers over dlp.service."""
