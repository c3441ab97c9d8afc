"""The recording proxy in front of a project server: it passes everything on, writes it down, and misbehaves when told to."""
