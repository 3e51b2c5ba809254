@echo off
rem Start Loratory by double-click; the window stays open where something went wrong.
rem "py" is the launcher of python.org's Python. "python" may be the Microsoft Store's stub, which only opens the Store:
rem it cannot run the check below, and is told apart by that. A Python that is too old or too new is taken only where
rem there is no other; launch.py then says so.
setlocal
cd /d "%~dp0"
set "suits=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
set "run="
for %%v in (3 3.12 3.13 3.11 3.14) do if not defined run py -%%v -c "%suits%" >nul 2>nul && set "run=py -%%v"
if not defined run python -c "%suits%" >nul 2>nul && set "run=python"
if not defined run py -3 -c "import sys" >nul 2>nul && set "run=py -3"
if not defined run python -c "import sys" >nul 2>nul && set "run=python"
if not defined run goto missing
%run% launch.py %*
set code=%errorlevel%
if not "%code%"=="0" pause
exit /b %code%

:missing
echo No Python was found (the Microsoft Store's "python" does not count, it only opens the Store):
echo install Python 3.12 (64-bit) from https://www.python.org/downloads/ and tick "Add python.exe to PATH".
pause
exit /b 1
