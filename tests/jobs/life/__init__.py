"""A random life: what happens in it (`faults.py`), who asks for jobs (`callers.py`), and what must
hold at its end (`account.py`). `test_life.py` lives it.
"""
