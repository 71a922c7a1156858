{}["missing key"]
