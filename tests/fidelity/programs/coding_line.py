# -*- coding: utf-8 -*-
print("é 你好")
