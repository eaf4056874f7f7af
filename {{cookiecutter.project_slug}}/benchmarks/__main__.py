"""`python -m benchmarks [--quick] [--only ROWS] [--out DIR]`: measures, draws and says what it
means.
"""

if __name__ == "__main__":
    # Not above: the clients' processes import this module, too, and need none of it.
    from benchmarks.run import main

    main()
