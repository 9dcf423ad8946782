"""The commands of ``fo-faceanon``, one module each, imported when used."""
