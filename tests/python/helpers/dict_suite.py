"""CPython's own tests of mappings, test.mapping_tests.BasicTestMappingProtocol, for LockingDict.
Loads in subinterpreters too. Nothing is left out."""

import unittest

from test import mapping_tests

import objtunnel


class Basic(mapping_tests.BasicTestMappingProtocol):
    type2test = objtunnel.LockingDict


class Filled(Basic):
    """The tests of Basic on a dict that other keys have come and gone in."""

    def _empty_mapping(self):
        d = objtunnel.LockingDict(enumerate(range(500)))
        d.clear()
        return d


def run():
    """[how many tests, texts of what went wrong]."""
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, (Basic, Filled)))
    result = unittest.TestResult()
    suite.run(result)
    wrong = result.errors + result.failures + result.skipped
    return [result.testsRun, [text for _, text in wrong]]
