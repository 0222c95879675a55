"""A package, or `import tests` would find those that sniffpy installs: https://github.com/codeprentice-org/sniffpy."""
