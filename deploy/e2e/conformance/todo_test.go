package conformance

var fileRows, settingRows, accountRows []row
