"""ui: the page in the browser. Skins only: every answer comes from `retrieval`."""
