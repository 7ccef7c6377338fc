"""The values that every part uses: frozen data and pure rules, no I/O."""
