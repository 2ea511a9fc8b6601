"""What durability is measured and tested with: an S3 server, a proxy of faults, watched scans."""
