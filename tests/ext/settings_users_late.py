"""For a worker of test_settings.py: imports the extension not before it is called."""


def bump():
    import settings

    return settings.bump()
