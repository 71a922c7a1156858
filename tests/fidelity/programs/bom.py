print("bom is tested as bytes elsewhere")
