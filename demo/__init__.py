"""
What stands behind ``make demo``: both examples under real servers, and half a minute of trouble.

- `_run.py`: sets everything up, plays the story, cleans up;
- `_story.py`: what happens when, and what must have come of it;
- `_servers.py`: the examples under gunicorn and uvicorn, each on a leash (`_leash.py`);
- `_telling.py`: how their processes tell what they see;
- `_traffic.py`: the users, and for comparison somebody who keeps the token in a dict;
- `_screen.py`: shows it;
- `_words.py`: what is told, in both languages.
"""
