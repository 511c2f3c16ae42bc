from objtunnel._executor import InterpreterPoolExecutor

__all__ = ["WorkerExecutor"]

class WorkerExecutor(InterpreterPoolExecutor): ...
