"""Reports that can be sent on: one run or several side by side, a comparison of two models, and the parts they share.

`run_report` and `comparison_report` write a page each. `verdict` makes the sentences, `tables`, `slice_tables`,
`charts` and `slice_charts` show the numbers, `formats` turns a number into text, and `page` writes the HTML.
"""
