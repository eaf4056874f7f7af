"""`python -m benchmarks [--quick] [--only ROWS] [--out DIR]`: measures, draws, and judges."""

if __name__ == "__main__":
    # Not at the top: the clients' processes import this module, too, and need nothing of it.
    from benchmarks.run import main

    main()
