"""The pieces of the HTML report. `reports/html.py` puts them together; nobody else needs them."""
