"""
``wxmiddleware doctor``: what may be wrong with an account, its way to WeChat and its store, one line a check.

`table` names the checks in their order, with what each depends on and what it costs. Each group has a module whose
functions look (I/O, through the `Examination`) and then judge (pure). `words` has what they say in both languages.
"""
