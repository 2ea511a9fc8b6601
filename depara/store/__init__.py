"""What is written and read: storage, layout, keys, schemas, graph artifacts, scans."""
