"""What an anonymizer kept and gave away: measured on pairs of pictures, whoever made them."""
