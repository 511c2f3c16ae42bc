"""What the workers of test_shared_modules.py run, found there by name."""


def look(name):
    import config

    return getattr(config, name, None)


def write(name, value):
    import config

    setattr(config, name, value)


def delete(name):
    import config

    delattr(config, name)


def make(name):
    from objtunnel import shared_module

    module = shared_module(name)
    module.made = True
    return sorted(key for key in dir(module) if key[:1] != "_")


def count(n):
    import config
    from objtunnel import module_namespace

    for _ in range(n):
        module_namespace(config).add("hits")


def try_import(name):
    try:
        return __import__(name).__name__
    except ImportError as error:
        return type(error).__name__


def star():
    space = {}
    exec("from config import *", space)
    return sorted(space.keys() - {"__builtins__"})
