fake descriptor set of tests/unit/conf/fake_schema.c
