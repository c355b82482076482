"""What Python and the machine are like: clocks, forks, processes, threads; and what everything above asks of both."""
