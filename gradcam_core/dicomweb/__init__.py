"""A DICOMweb server: search it, fetch series from it, send objects to it (PS3.18: QIDO-RS, WADO-RS, STOW-RS).

The address and the credentials come from settings. All that the server sends is foreign: every answer has a bound in
bytes and seconds, redirects are not followed, and identifiers are checked before they become part of an address.

The package dicomweb-client is not used, since it reads answers of any size, and parses fetched files in this process.
"""

from gradcam_core.dicomweb.fetching import fetch_series as fetch_series
from gradcam_core.dicomweb.identifiers import study_of as study_of
from gradcam_core.dicomweb.searching import ArchivedSeries as ArchivedSeries
from gradcam_core.dicomweb.searching import ArchivedStudy as ArchivedStudy
from gradcam_core.dicomweb.searching import list_series as list_series
from gradcam_core.dicomweb.searching import search_studies as search_studies
from gradcam_core.dicomweb.server import DICOMWEB_SETTINGS as DICOMWEB_SETTINGS
from gradcam_core.dicomweb.server import DicomwebServer as DicomwebServer
from gradcam_core.dicomweb.server import dicomweb_server as dicomweb_server
from gradcam_core.dicomweb.storing import Stored as Stored
from gradcam_core.dicomweb.storing import store_objects as store_objects
