"""Where hooks are declared: kong.yml, a plugin instance's configuration, the plugins that the Admin API lists."""
