"""Program transformations: functions to functions, by way of traces or jaxprs."""
