"""Explanation -> a report to file: PDF, or one HTML file that makes no request."""

from gradcam_core.exporters.report.printing import FILES as FILES
from gradcam_core.exporters.report.printing import report_files as report_files
from gradcam_core.exporters.report.printing import report_html as report_html
from gradcam_core.exporters.report.printing import report_pdf as report_pdf
