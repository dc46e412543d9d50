# filled by the folder's first code
