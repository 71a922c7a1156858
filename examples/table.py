# SPDX-License-Identifier: MIT
"""A data frame: the value of the last expression comes back as text and as HTML (results[] with --json)."""
import pandas as pd

sales = pd.DataFrame({
    "city": ["Oslo", "Rome", "Oslo", "Rome", "Lima"],
    "units": [3, 5, 4, 1, 7],
    "price": [10.0, 8.5, 10.0, 9.0, 6.0],
})
sales["total"] = sales.units * sales.price
by_city = sales.groupby("city")[["units", "total"]].sum()
print(by_city)
by_city
