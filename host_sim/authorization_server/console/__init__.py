"""The pages for people: signing in, devices, activity, account. Rendered here, usable without JavaScript.

Not for deeds: what a person does to a device is in ownership.py, for the console line as for a page.
"""
